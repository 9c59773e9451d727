"""The shared words, as plain values: tasks, pieces, shards, prices."""
