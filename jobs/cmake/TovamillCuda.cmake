# The CUDA toolkit, 12.4 or later: compiler, runtime, cuBLASLt and NCCL, as imported targets.
if(NOT CMAKE_CUDA_COMPILER AND EXISTS /usr/local/cuda/bin/nvcc)
  set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 100-virtual)
  set(architectures_are_ours ON)
endif()
enable_language(CUDA)
find_package(CUDAToolkit 12.4 REQUIRED)
if(architectures_are_ours AND CUDAToolkit_VERSION VERSION_LESS 12.8)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual)  # it does not know 100 yet
endif()
set(CMAKE_CUDA_STANDARD 20)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know how nvcc is told so
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
