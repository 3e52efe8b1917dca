"""`python -m lipfault` is `lipfault`."""

from lipfault.cli.main import main

if __name__ == '__main__':
    main()
