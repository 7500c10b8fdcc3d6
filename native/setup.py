"""Builds the extension: C sources, one file for every Python from 3.11 on (abi3)."""

from setuptools import Extension, setup

SOURCES = ("module", "plan", "run", "avx512", "avx2", "few", "plain")
HEADERS = ("plan", "kernels", "matrix", "spectrum", "posteriors", "table", "simd")

setup(
    ext_modules=[
        Extension(
            "streamrnn_native._kernel",
            [f"src/{name}.c" for name in SOURCES],
            depends=[f"src/{name}.h" for name in HEADERS],
            # No fused or reordered arithmetic but what is written: a row's answer must not depend on where it stands.
            extra_compile_args=[
                "-O3",
                "-std=gnu11",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fvisibility=hidden",
                "-g0",
            ],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
