# coil_library(NAME): makes the target coil_NAME the library coil::NAME, in this build and, with its folder's headers,
# in an installed Coil.
include(GNUInstallDirs)

function(coil_library name)
  add_library(coil::${name} ALIAS coil_${name})
  # Who links it may be a shared object (a plugin, a module) that lives beside others in one program.
  set_target_properties(coil_${name} PROPERTIES
    EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  install(TARGETS coil_${name} EXPORT coil ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
  install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/coil/${name} COMPONENT
    development
    FILES_MATCHING PATTERN "*.h" PATTERN "*-inl.h" EXCLUDE PATTERN kernels EXCLUDE PATTERN deploy EXCLUDE)
endfunction()

# After all libraries: what find_package(coil) reads.
function(coil_install_package)
  include(CMakePackageConfigHelpers)
  set(folder ${CMAKE_INSTALL_LIBDIR}/cmake/coil)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/coil-config.cmake.in ${PROJECT_BINARY_DIR}/coil-config.cmake
    INSTALL_DESTINATION ${folder})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/coil-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/coil-config.cmake ${PROJECT_BINARY_DIR}/coil-config-version.cmake
    DESTINATION ${folder} COMPONENT development)
  install(EXPORT coil FILE coil-targets.cmake NAMESPACE coil:: DESTINATION ${folder} COMPONENT development)
endfunction()
