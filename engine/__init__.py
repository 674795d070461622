"""The science and the machinery of crysift: schemas, structures, descriptors, stages, store and execution."""
