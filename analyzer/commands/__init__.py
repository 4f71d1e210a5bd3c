"""The commands, one module each. What they do is done elsewhere: options in, one call, an exit code out."""
