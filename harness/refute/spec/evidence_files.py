"""Evidence by its names: what the built-in experiments are called, wherever they are planned, judged or shown."""

from __future__ import annotations

from typing import Final

RELEASE: Final = "release"
TEACHER: Final = "teacher"
CORPUS: Final = "corpus"
CONTAMINATION: Final = "contamination"
CORPUS_AUDIT: Final = "corpus_audit"
INIT: Final = "init"
LINEAGE: Final = "lineage"
TEACHER_PROBE: Final = "teacher_probe"
KD_MATH: Final = "kd_math"
STUDENT: Final = "student"
STUDENT_AUDIT: Final = "student_audit"
CE_CONTROL: Final = "ce_control"
HUMANEVAL_CALIBRATION: Final = "humaneval_calibration"
HUMANEVAL_TEACHER: Final = "humaneval_teacher"
HUMANEVAL_INIT: Final = "humaneval_init"
HUMANEVAL_STUDENT: Final = "humaneval_student"
HUMANEVAL_SEQUENTIAL: Final = "humaneval_sequential"
HUMANEVAL_NULL: Final = "humaneval_null"
HUMANEVAL_REPLAY: Final = "humaneval_replay"
KILL_MATRIX: Final = "kill_matrix"

TRAININGS: Final = (STUDENT, CE_CONTROL)
# Those of a model's answers; the calibration's are known beforehand, and the replay's are a few of the student's.
EVALUATIONS: Final = (HUMANEVAL_TEACHER, HUMANEVAL_INIT, HUMANEVAL_STUDENT, HUMANEVAL_SEQUENTIAL, HUMANEVAL_NULL)
