"""The layer finds TensorRT's registry where TensorRT's symbols are not global, as its Python packages
load it: local_symbols_test.py LIBNVINFER LIBMUSTER_TENSORRT"""

import ctypes
import sys

tensorrt, layer = sys.argv[1:]
library = ctypes.CDLL(layer)
library.initLibMusterPlugins.restype = ctypes.c_bool
library.initLibMusterPlugins.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
assert not library.initLibMusterPlugins(None, None), "TensorRT is here already"
ctypes.CDLL(tensorrt)
assert library.initLibMusterPlugins(None, None), "the layer does not find TensorRT"
