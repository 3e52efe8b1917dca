"""How far does a fault on one modality move what is cleaned of another?"""
