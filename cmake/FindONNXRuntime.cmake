# Finds ONNX Runtime 1.21 or later: its headers, and the library if it can be had.
#
# Looked for in ONNXRUNTIME_ROOT (a variable, or one of the environment) if that is set; otherwise
# where the system has it, and then where tools/setup fetches it.
#
#   ONNXRuntime_FOUND, ONNXRuntime_API_VERSION, ONNXRuntime_INCLUDE_DIR
#   ONNXRuntime_LIBRARY     libonnxruntime.so.1, or empty. Nobody links it: it is opened at run time
#   ONNXRuntime::headers    target
set(hints)
if(NOT ONNXRUNTIME_ROOT)
  set(ONNXRUNTIME_ROOT "$ENV{ONNXRUNTIME_ROOT}")
endif()
if(ONNXRUNTIME_ROOT)
  set(hints PATHS ${ONNXRUNTIME_ROOT} NO_DEFAULT_PATH)
  unset(ONNXRuntime_INCLUDE_DIR CACHE)
  unset(ONNXRuntime_LIBRARY CACHE)
else()
  set(hints PATHS ${PROJECT_SOURCE_DIR}/build/onnxruntime)
endif()

find_path(ONNXRuntime_INCLUDE_DIR onnxruntime_cxx_api.h ${hints}
  PATH_SUFFIXES include include/onnxruntime onnxruntime)
find_library(ONNXRuntime_LIBRARY NAMES libonnxruntime.so.1 onnxruntime ${hints} PATH_SUFFIXES lib)
mark_as_advanced(ONNXRuntime_INCLUDE_DIR ONNXRuntime_LIBRARY)

if(ONNXRuntime_INCLUDE_DIR)
  file(STRINGS ${ONNXRuntime_INCLUDE_DIR}/onnxruntime_c_api.h line REGEX "^#define ORT_API_VERSION")
  string(REGEX MATCH "[0-9]+" ONNXRuntime_API_VERSION "${line}")
endif()
if(ONNXRuntime_API_VERSION GREATER_EQUAL 21)
  set(ONNXRuntime_FOUND TRUE)
  if(NOT TARGET ONNXRuntime::headers)
    add_library(ONNXRuntime::headers INTERFACE IMPORTED)
    target_include_directories(ONNXRuntime::headers INTERFACE ${ONNXRuntime_INCLUDE_DIR})
  endif()
else()
  set(ONNXRuntime_FOUND FALSE)
endif()
unset(hints)
