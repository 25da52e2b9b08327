# cmake --install: the program, its launcher, Slurm scripts, manual pages, completion and documentation. What is installed
# may be moved as a whole; libraries of prefixes that the build was told of are found there.
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/tovamill)

set_target_properties(tovamill PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}"
                      INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS tovamill RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# A script of ours as it is called and calls others once it is installed.
function(tovamill_install_script source name destination)
  file(READ ${source} text)
  string(REPLACE "jobs/launch.sh" "tovamill-launch" text "${text}")
  string(REPLACE "launch.sh" "tovamill-launch" text "${text}")
  string(REPLACE "jobs/slurm/" "" text "${text}")
  string(REPLACE "build/tovamill" "tovamill" text "${text}")
  string(REPLACE "$tovamill/" "" text "${text}")
  string(REGEX REPLACE "\ntovamill=[^\n]*" "" text "${text}")
  set(installed ${PROJECT_BINARY_DIR}/installed/${name})
  file(CONFIGURE OUTPUT ${installed} CONTENT "@text@" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  install(PROGRAMS ${installed} DESTINATION ${destination})
endfunction()
tovamill_install_script(${PROJECT_SOURCE_DIR}/jobs/launch.sh tovamill-launch ${CMAKE_INSTALL_BINDIR})
file(GLOB slurm_scripts CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/jobs/slurm ${PROJECT_SOURCE_DIR}/jobs/slurm/*.sbatch)
foreach(script ${slurm_scripts})
  tovamill_install_script(${PROJECT_SOURCE_DIR}/jobs/slurm/${script} ${script} ${share}/slurm)
endforeach()

# Made by the program that they describe.
set(manual_dir ${PROJECT_BINARY_DIR}/manual)
set(make_manual ${PROJECT_SOURCE_DIR}/jobs/commands/make_manual.sh)
add_custom_command(OUTPUT ${manual_dir}/complete
                   COMMAND ${make_manual} $<TARGET_FILE:tovamill> ${PROJECT_BINARY_DIR}/installed/tovamill-launch ${manual_dir}
                   DEPENDS tovamill ${make_manual} ${PROJECT_BINARY_DIR}/installed/tovamill-launch
                   COMMENT "Writing manual pages and completion" VERBATIM)
add_custom_target(tovamill_manual ALL DEPENDS ${manual_dir}/complete)
install(DIRECTORY ${manual_dir}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
install(FILES ${manual_dir}/tovamill.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME tovamill)
foreach(folder site-functions vendor-completions)  # the second is Debian's, for packages
  install(FILES ${manual_dir}/_tovamill DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/${folder})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
foreach(folder jobs jobs/bench io pipeline kernels)  # where README.md links to them
  install(FILES ${PROJECT_SOURCE_DIR}/${folder}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/jobs/bench/pictures DESTINATION ${CMAKE_INSTALL_DOCDIR}/jobs/bench)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

configure_file(${CMAKE_CURRENT_LIST_DIR}/Uninstall.cmake.in ${PROJECT_BINARY_DIR}/Uninstall.cmake @ONLY)
add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -P ${PROJECT_BINARY_DIR}/Uninstall.cmake
                  COMMENT "Removing what the last installation of this build wrote" VERBATIM)

# cpack -G DEB, or -G TGZ for a prefix of any name.
set(CPACK_PACKAGE_NAME tovamill)
set(CPACK_PACKAGE_VENDOR tovamill)
set(CPACK_PACKAGE_CONTACT "the authors of tovamill <authors@tovamill.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS openmpi-bin)  # mpirun, which tovamill-launch starts ranks with
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS gnuplot-nox)  # which tovamill report draws with
include(CPack)
