import xml.etree.ElementTree as ET
from math import cos, pi, sin

import numpy as np
import pytest

from lipfault.cells.arm import Arm
from lipfault.cells.irb1600 import IRB1600
from lipfault.cells.scene import add_arm, new_scene
from lipfault.cells.ur5 import UR5


def forward(design, angles):
    """Flange position and rotation by the textbook product of Denavit-Hartenberg matrices."""
    pose = np.eye(4)
    for link, angle in zip(design.links, angles, strict=True):
        c, s = cos(angle + link.offset), sin(angle + link.offset)
        ca, sa = cos(link.alpha), sin(link.alpha)
        pose = pose @ np.array(
            [
                [c, -s * ca, s * sa, link.a * c],
                [s, c * ca, -c * sa, link.a * s],
                [0, sa, ca, link.d],
                [0, 0, 0, 1],
            ]
        )
    return pose[:3, 3], pose[:3, :3]


@pytest.fixture(params=['ur5', 'irb1600'])
def arm(request, mujoco):
    design = {'ur5': UR5, 'irb1600': IRB1600}[request.param]
    root, world = new_scene(0.002)
    flange = add_arm(root, world, design, 'arm', (0.0, 0.0, 0.0), 0.0)
    ET.SubElement(flange, 'site', name='tool')
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding='unicode'))
    return Arm(model, design, 'arm', 'tool')


def near_home(arm, seed):
    random = np.random.default_rng(seed)
    return np.array(arm.design.home) + random.uniform(-0.5, 0.5, size=6)


@pytest.mark.parametrize('seed', range(3))
def test_the_scene_repeats_the_denavit_hartenberg_table(arm, seed):
    angles = np.random.default_rng(seed).uniform(arm.low, arm.high)
    position, rotation = arm.pose(angles)
    expected_position, expected_rotation = forward(arm.design, angles)
    np.testing.assert_allclose(position, expected_position, atol=1e-8)
    np.testing.assert_allclose(rotation, expected_rotation, atol=1e-8)


@pytest.mark.parametrize(
    ('design', 'flange'),
    [
        (UR5, (-0.81725, -0.19145, -0.005491)),  # the maker's drawing, arm stretched
        (IRB1600, (0.15 + 0.6 + 0.065, 0.0, 0.4865 + 0.7)),  # the maker's drawing, all axes at 0
    ],
)
def test_the_tables_put_the_flange_where_the_makers_do(design, flange):
    np.testing.assert_allclose(forward(design, np.zeros(6))[0], flange, atol=1e-6)


@pytest.mark.parametrize('seed', range(4))
def test_inverse_kinematics_inverts(arm, seed):
    position, rotation = arm.pose(near_home(arm, seed))
    solved = arm.solve(position, rotation, np.array(arm.design.home))
    found_position, found_rotation = arm.pose(solved)
    np.testing.assert_allclose(found_position, position, atol=1e-5)
    np.testing.assert_allclose(found_rotation, rotation, atol=1e-5)


def test_a_pose_out_of_reach_is_approached_within_the_limits(arm):
    angles = arm.solve(np.array([5.0, 0.0, 0.5]), np.eye(3), np.array(arm.design.home))
    assert np.all((angles >= arm.low) & (angles <= arm.high))


def test_the_controller_holds_a_posture_against_gravity(arm, mujoco):
    data = mujoco.MjData(arm.model)
    home = near_home(arm, 0)
    data.qpos[arm.qpos] = home
    for _ in range(500):
        mujoco.mj_step1(arm.model, data)
        arm.track(data, home, np.zeros(6), np.zeros(6), np.zeros(3))
        mujoco.mj_step2(arm.model, data)
    np.testing.assert_allclose(data.qpos[arm.qpos], home, atol=1e-4)
    # The friction of the gears holds the rest of the load.
    static = data.actuator_force[arm.motors]
    friction = np.array([link.friction for link in arm.design.links])
    assert np.all(np.abs(static - data.qfrc_bias[arm.dofs]) <= friction + 1e-3)


def test_torques_stop_at_their_limits(arm, mujoco):
    data = mujoco.MjData(arm.model)
    data.qpos[arm.qpos] = arm.design.home
    mujoco.mj_step1(arm.model, data)
    far = np.array(arm.design.home) + 100.0
    arm.track(data, far, np.zeros(6), np.zeros(6), np.zeros(3))
    np.testing.assert_allclose(np.abs(data.ctrl[arm.motors]), arm.torque)


@pytest.mark.parametrize(('design', 'mass'), [(UR5, 18.4), (IRB1600, 250.0)])
def test_moving_masses_stay_below_the_arm_s_published_weight(design, mass):
    moving = sum(link.mass for link in design.links)
    assert 0.5 * mass < moving < mass


def test_the_angle_of_the_base_turns_the_arm(mujoco):
    root, world = new_scene(0.002)
    ET.SubElement(add_arm(root, world, UR5, 'arm', (1.0, 2.0, 3.0), pi), 'site', name='tool')
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding='unicode'))
    position, _ = Arm(model, UR5, 'arm', 'tool').pose(np.zeros(6))
    x, y, z = forward(UR5, np.zeros(6))[0]
    np.testing.assert_allclose(position, [1 - x, 2 - y, 3 + z], atol=1e-8)
