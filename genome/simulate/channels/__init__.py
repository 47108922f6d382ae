"""What each channel's own systems would export of a block's life; one file for each group of systems."""
