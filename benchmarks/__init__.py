"""What measures this toolkit against others; each module is a command that prints a table."""
