"""Entry point of ``python -m press``."""

from press.cli import main

if __name__ == "__main__":
    main()
