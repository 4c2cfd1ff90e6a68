"""UI sessions as files: recorded keys, played again against a fixed index at a fixed size."""
