"""HTTP in, HTTP out: parse, ask the domain, render."""
