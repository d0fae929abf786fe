"""Trains a method: the command `jaxuda.train` under its original name."""

import runpy

if __name__ == '__main__':
  runpy.run_module('jaxuda.train', run_name='__main__', alter_sys=True)
