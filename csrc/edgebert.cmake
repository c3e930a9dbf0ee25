# The library's files and flags, for all builds by CMake: CMakeLists.txt here, and ../zephyr.
# The kernels of other processors compile to nothing.
file(GLOB EDGEBERT_SOURCES CONFIGURE_DEPENDS
     ${CMAKE_CURRENT_LIST_DIR}/*.c ${CMAKE_CURRENT_LIST_DIR}/kernels/*.c)
set(EDGEBERT_KERNELS ${EDGEBERT_SOURCES})
list(FILTER EDGEBERT_KERNELS INCLUDE REGEX /kernels/)

# Without the level of optimisation, which builds choose; the kernels, where the time goes, keep it.
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/CFLAGS EDGEBERT_FLAGS)
separate_arguments(EDGEBERT_FLAGS)
set(EDGEBERT_OPTIMISATION ${EDGEBERT_FLAGS})
list(FILTER EDGEBERT_OPTIMISATION INCLUDE REGEX ^-O)
list(FILTER EDGEBERT_FLAGS EXCLUDE REGEX ^-O)
if(MSVC) # whose compiler has other flags, and does without
  set(EDGEBERT_FLAGS "")
  set(EDGEBERT_OPTIMISATION "")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/CFLAGS)
