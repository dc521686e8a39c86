# `cmake --install`, and the package that find_package(muster) finds.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/muster)

install(TARGETS muster EXPORT muster-targets)
install(DIRECTORY include/muster ${PROJECT_BINARY_DIR}/include/muster
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT muster-targets NAMESPACE muster:: DESTINATION ${package_dir})

configure_package_config_file(cmake/muster-config.cmake.in muster-config.cmake
  INSTALL_DESTINATION ${package_dir})
# Until 1.0 a minor version may change the interface.
write_basic_package_version_file(muster-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/muster-config.cmake
              ${PROJECT_BINARY_DIR}/muster-config-version.cmake
        DESTINATION ${package_dir})
