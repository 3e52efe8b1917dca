"""What each part buys."""
