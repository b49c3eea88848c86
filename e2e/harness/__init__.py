"""What the black-box tests are made of: processes, kubectl, masks."""
