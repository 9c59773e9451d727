"""Text and HTML of what people look at: numbers with units, tables, cards."""
