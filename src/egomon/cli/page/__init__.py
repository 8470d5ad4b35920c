"""Teaching from the live page: recorded runs, a bundle of them, and what people say of alerts."""
