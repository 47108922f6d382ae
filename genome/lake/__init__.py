"""The lake: committed Parquet, the one truth that everything else can be rebuilt from."""
