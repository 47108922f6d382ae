"""Whether data may pass: Great Expectations suites, and the gate that runs them over staged Parquet."""
