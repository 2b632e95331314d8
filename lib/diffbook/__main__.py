"""Entry point of ``python -m diffbook``."""

from diffbook.cli import main

if __name__ == "__main__":
    main()
