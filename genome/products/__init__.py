"""What products are to one another."""
