"""From a file of answers to records: formats, mappings, and everything that can be wrong."""
