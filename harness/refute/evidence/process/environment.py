"""What an experiment's process sees of the environment: the variables listed here, and no others.

Those that can change a number enter the evidence key, are recorded beside the evidence, and are signed with a verdict.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

# Where things are and who asks: none of it changes a number.
_PLACES = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "LANG", "LANGUAGE", "TZ", "COLUMNS"),
        *("XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    ]
)

# Of libraries that compute. A library that is configured by others is one whose prefix is missing here.
_NUMERIC = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_", "NPY_", "MALLOC_"),
    *("ATEN_", "DNNL_", "ONEDNN_", "MKLDNN_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "TRITON_", "TRANSFORMERS_"),
    *("CUDA_", "CUDNN_", "CUBLAS_", "CUBLASLT_", "NVIDIA_", "NCCL_", "GLOO_", "HIP_", "ROCM_", "HSA_", "MIOPEN_"),
    *("TOKENIZERS_", "RAYON_", "GGML_", "LLAMA_", "ACCELERATE_"),
)

# Speed only, and only where the user has not decided otherwise. Measured on the embedded teacher, 47 tokens, float32:
# OpenMP threads that spin while they wait made its forward 2.1 to 3.1 s on two cores shared with other work, sleeping
# ones 0.58 s. glibc returns large blocks to the kernel and faults every page in again at the next step: a KD step took
# 0.90 to 0.95 CPU seconds, and 0.67 to 0.68 with memory kept.
_TUNING = {
    "OMP_WAIT_POLICY": "passive",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
}

# Nothing is fetched behind the plan's back, torch imports no distribution for its entry point, hashing does not vary,
# and asking whether there is a GPU does not start CUDA in the process that is about to fork (PyTorch documentation,
# "CUDA environment variables").
_FIXED = {
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
}

# Who can write here can replace Python itself. Drivers of accelerators often lie there, outside the linker's cache.
_SYSTEM = ("/usr/", "/lib/", "/lib64/", "/opt/")
_LIBRARIES = "LD_LIBRARY_PATH"

# Folders with engines of one's own, searched last. What is loaded from them is named in the verdict.
EXTRA_PATH = "REFUTE_EXPERIMENT_PATH"


def process_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of an experiment's process that a process with `environment` starts."""
    places = {name: value for name, value in environment.items() if name in _PLACES or name.startswith("LC_")}
    return {**places, **numeric_variables(environment)}


def numeric_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of it that can change a number, in the order of names."""
    given = {n: value for n, value in environment.items() if n.startswith(_NUMERIC) and n not in _PLACES}
    folders = [each for each in environment.get(_LIBRARIES, "").split(os.pathsep) if _is_system(each)]
    libraries = {_LIBRARIES: os.pathsep.join(folders)} if folders else {}
    return dict(sorted({**_TUNING, **given, **libraries, **_FIXED}.items()))


def extra_folders(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The folders that EXTRA_PATH names, absolute."""
    return tuple(os.path.realpath(each) for each in environment.get(EXTRA_PATH, "").split(os.pathsep) if each)


def _is_system(folder: str) -> bool:
    return os.path.realpath(folder).startswith(_SYSTEM)
