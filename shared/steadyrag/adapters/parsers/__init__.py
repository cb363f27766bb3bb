"""Files to plain text with headings: one module per format, `registry` to choose among them,
`files` to walk folders."""
