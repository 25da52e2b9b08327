# In the repository: spack repo add jobs/spack && spack dev-build tovamill@main
from spack.package import *


class Tovamill(CMakePackage, CudaPackage):
    """Scores and summarises document corpora with language models whose key-value cache is bounded."""

    license("Apache-2.0")

    version("main", branch="main")

    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("openmpi@4.1:")
    depends_on("hdf5@1.10: +hl")
    depends_on("boost@1.74: +program_options")
    depends_on("onednn@2.6: cpu_runtime=omp")
    depends_on("oniguruma@6.9.8:")
    depends_on("utf8proc")
    depends_on("simdjson@3:")
    depends_on("nlohmann-json@3.9:")
    depends_on("zlib-api")
    depends_on("zstd@1.4:")
    depends_on("xz@5.2:")
    depends_on("bzip2@1.0:")
    depends_on("cuda@12.4:", when="+cuda")
    depends_on("nccl", when="+cuda")

    conflicts("%gcc@:11", msg="C++20 as in GCC 12 is needed")

    def cmake_args(self):
        arguments = [
            self.define("CMAKE_UNITY_BUILD", True),
            self.define("TOVAMILL_TESTS", False),
            self.define("TOVAMILL_BENCHMARKS", False),
            self.define_from_variant("TOVAMILL_CUDA", "cuda"),
        ]
        if self.spec.satisfies("+cuda") and self.spec.variants["cuda_arch"].value[0] != "none":
            architectures = ";".join(self.spec.variants["cuda_arch"].value)
            arguments.append(self.define("CMAKE_CUDA_ARCHITECTURES", architectures))
        return arguments
