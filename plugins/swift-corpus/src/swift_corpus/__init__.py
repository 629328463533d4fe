"""Corpora: data sets tokenised in parts, by processes of one machine or a cluster, into shards that a training reads."""
