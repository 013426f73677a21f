"""`python -m gateway` is `voxgate`."""

from gateway.cli import main

if __name__ == "__main__":
    main()
