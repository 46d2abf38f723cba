from wireroom.ports import free_port


def test_no_port_is_given_twice_before_its_server_has_started() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == len(ports)
