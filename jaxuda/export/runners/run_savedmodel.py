"""Labels a picture with an exported network. Needs tensorflow and Pillow.

    python run_savedmodel.py PICTURE OUT.png

OUT.png has the picture's size; its pixels are indices into the list of classes
in export.json.
"""

import picture
import tensorflow as tf


def load(folder=picture.FOLDER):
  """Returns a function, uint8 [B, H, W, 3] -> {'logits', 'label', ...}.

  Raises:
    SystemExit: this version of TensorFlow refuses the network.
  """
  try:
    model = tf.saved_model.load(str(folder / 'savedmodel'))
  except Exception as e:
    reads = f'tensorflow {tf.__version__}'
    raise picture.refused(folder, 'savedmodel', reads, e) from e
  call = model.signatures['serving_default']
  # The model must stay alive as long as its function.
  return lambda image, model=model: {
    name: x.numpy() for name, x in call(image=tf.constant(image)).items()
  }


if __name__ == '__main__':
  picture.main(load)
