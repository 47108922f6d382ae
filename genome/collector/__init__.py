"""The collector: a tracking API that Segment's and RudderStack's clients already speak."""
