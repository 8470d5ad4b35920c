"""`python -m egomon`."""

from egomon.cli import main

if __name__ == "__main__":
    main()
