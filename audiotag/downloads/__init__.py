"""Published data sets onto the disk: downloaded, checked, unpacked. What they hold is the business of the corpora."""
