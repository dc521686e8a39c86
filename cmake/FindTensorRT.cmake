# TensorRT's headers, and its library where it is installed: TensorRT_FOUND, TensorRT_VERSION,
# TensorRT_INCLUDE_DIR, TensorRT_LIBRARY (or NOTFOUND: the headers are enough to build plugins).
# -DTensorRT_ROOT names an installation; otherwise the system's is taken.
include(FindPackageHandleStandardArgs)

find_path(TensorRT_INCLUDE_DIR NvInferVersion.h PATH_SUFFIXES include)
find_library(TensorRT_LIBRARY NAMES nvinfer libnvinfer.so.8 PATH_SUFFIXES lib)
mark_as_advanced(TensorRT_INCLUDE_DIR TensorRT_LIBRARY)

if(TensorRT_INCLUDE_DIR)
  file(READ ${TensorRT_INCLUDE_DIR}/NvInferVersion.h header)
  set(TensorRT_VERSION "")
  foreach(part MAJOR MINOR PATCH)
    # From 10.14 on, NV_TENSORRT_MAJOR is defined as TRT_MAJOR_ENTERPRISE.
    string(REGEX MATCH "#define (NV_TENSORRT_${part}|TRT_${part}_ENTERPRISE) ([0-9]+)" _ "${header}")
    list(APPEND TensorRT_VERSION ${CMAKE_MATCH_2})
  endforeach()
  list(JOIN TensorRT_VERSION "." TensorRT_VERSION)
endif()

find_package_handle_standard_args(TensorRT
  REQUIRED_VARS TensorRT_INCLUDE_DIR VERSION_VAR TensorRT_VERSION)
