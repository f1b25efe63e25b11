"""The demo, the clips it is made of, and what measures facepaint's speed."""
