"""The rules, in plain Python: this floor imports nothing but itself."""
