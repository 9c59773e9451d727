"""Native primitives as members: the samplers that providers bring themselves."""
