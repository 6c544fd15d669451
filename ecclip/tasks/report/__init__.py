"""The report of a bundle: measures, examples, one page, and the evidence by which its claims are counted again."""
