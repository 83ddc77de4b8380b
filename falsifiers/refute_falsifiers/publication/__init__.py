"""Falsifiers of SPEC-HF-PUBLISH-001, one topic a file: is what others are given what was judged, and does it work?"""
