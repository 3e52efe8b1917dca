"""Run `python -m lipfault` as `lipfault`."""

from lipfault.cli.main import main

if __name__ == '__main__':
    main()
