"""The Cityscapes train ids that the renderer writes."""

ROAD, SIDEWALK, BUILDING, WALL, FENCE = 0, 1, 2, 3, 4
POLE, LIGHT, SIGN, VEGETATION, TERRAIN = 5, 6, 7, 8, 9
SKY, PERSON, RIDER, CAR, TRUCK = 10, 11, 12, 13, 14
BUS, TRAIN, MOTORCYCLE, BICYCLE = 15, 16, 17, 18

# Street clutter that is none of the classes.
IGNORE = 255
