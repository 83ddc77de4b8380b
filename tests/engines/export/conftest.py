"""What tests of exports share: a student as evidence, and its exports."""

from exported_student import bare, desk  # noqa: F401 - fixtures
