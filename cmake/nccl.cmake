# NCCL, where a header of 2.28 or later is found. The library is opened at run time and may be older;
# what is built here also works where there is none.
set(NCCL_ROOT "" CACHE PATH "Where NCCL is, if the compiler does not know: has include/nccl.h")
set(MUSTER_HAS_NCCL OFF)

if(MUSTER_HAS_CUDA)
  # The last place is where tools/nccl/fetch puts it.
  find_path(NCCL_INCLUDE_DIR nccl.h
            HINTS ${NCCL_ROOT}/include ${CUDAToolkit_INCLUDE_DIRS}
                  ${PROJECT_SOURCE_DIR}/build/nccl/include)
  if(NCCL_INCLUDE_DIR)
    file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h version_line REGEX "define NCCL_(MAJOR|MINOR) +[0-9]+")
    string(REGEX MATCHALL "[0-9]+" nccl_version "${version_line}")
    list(JOIN nccl_version "." nccl_version)
  endif()
  if(NCCL_INCLUDE_DIR AND nccl_version VERSION_GREATER_EQUAL 2.28)
    set(MUSTER_HAS_NCCL ON)
    add_library(nccl_headers INTERFACE)
    target_include_directories(nccl_headers SYSTEM INTERFACE ${NCCL_INCLUDE_DIR})
    find_file(NCCL_LIBRARY_FILE libnccl.so.2 HINTS ${NCCL_INCLUDE_DIR}/../lib NO_DEFAULT_PATH)
    if(NCCL_LIBRARY_FILE)
      get_filename_component(NCCL_LIBRARY_DIR ${NCCL_LIBRARY_FILE} DIRECTORY)
    endif()
    message(STATUS "muster: with NCCL, by the header of ${nccl_version} in ${NCCL_INCLUDE_DIR}")
  else()
    message(STATUS "muster: without NCCL (no nccl.h of 2.28 or later; see tools/nccl/fetch, or set NCCL_ROOT): "
                   "ranks on GPUs must reach each other's memory")
  endif()
endif()
