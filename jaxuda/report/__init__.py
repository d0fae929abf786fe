"""What the page of `jaxuda.report` is made of."""
