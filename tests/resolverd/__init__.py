"""Tests of resolverd."""
