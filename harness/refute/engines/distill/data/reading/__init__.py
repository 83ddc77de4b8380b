"""From files to texts: which files are a corpus (sources), what each of them is (file_format), what they say (texts).

preview.py tells people all of it before anything is tokenised.
"""
