"""The operator's door for those who type `python -m tokensvc`."""

from tokensvc.cli import main

if __name__ == "__main__":
    main(prog_name="tokensvc")
