"""Builds the compiled part where there is a compiler; without one everything works, slower."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "dnsserver.fast.compiled",
            ["dnsserver/fast/compiled.pyx"],
            depends=["dnsserver/fast/loop.h"],
            extra_compile_args=["-O2", "-std=gnu11"],
            optional=True,
        )
    ]
)
